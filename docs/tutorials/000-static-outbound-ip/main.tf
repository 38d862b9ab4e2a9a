terraform {
  required_providers {
    google = { source = "hashicorp/google" }
  }
}

provider "google" {}

resource "google_compute_network" "vpc" {
  name                    = "serverless"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "cloud_run" {
  name          = "cloud-run-subnet"
  ip_cidr_range = "10.124.0.0/28"
  network       = google_compute_network.vpc.id
}

resource "google_vpc_access_connector" "cloud_run" {
  name          = "cloud-run-connector"
  min_instances = 2
  max_instances = 3
  subnet {
    name = google_compute_subnetwork.cloud_run.name
  }
}

resource "google_compute_router" "cloud_run" {
  name    = "cloud-run-router"
  network = google_compute_network.vpc.id
}

resource "google_compute_address" "origin" {
  name = "cloud-run-origin-ip"
}

resource "google_compute_router_nat" "cloud_run" {
  name                               = "cloud-run-nat"
  router                             = google_compute_router.cloud_run.name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.origin.self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"
  subnetwork {
    name                    = google_compute_subnetwork.cloud_run.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }
}

resource "google_cloud_run_v2_service" "production" {
  name                = "production"
  location            = google_compute_subnetwork.cloud_run.region
  deletion_protection = false
  template {
    containers {
      image = "us-docker.pkg.dev/fogbank/samples/netcheck"
    }
    vpc_access {
      connector = google_vpc_access_connector.cloud_run.id
      egress    = "ALL_TRAFFIC"
    }
  }
}

resource "google_cloud_run_v2_service_iam_member" "everyone" {
  name     = google_cloud_run_v2_service.production.name
  location = google_cloud_run_v2_service.production.location
  role     = "roles/run.invoker"
  member   = "allUsers"
}

output "url" { value = google_cloud_run_v2_service.production.uri }
output "address" { value = google_compute_address.origin.address }
