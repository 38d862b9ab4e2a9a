"""Cloud Scheduler (``cloudscheduler.googleapis.com``): jobs that send an HTTP request by a schedule.

Targets of Pub/Sub and App Engine, and schedules in English, are refused by name.
"""

from fogbank.services.cloudscheduler import jobs
from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.locations import list_locations

_JOBS = "projects.locations.jobs."

SERVICE = Service(
    name="cloudscheduler",
    title="Cloud Scheduler API",
    versions=("v1",),
    methods={
        "projects.locations.list": List(
            list_locations, "locations", permission="cloudscheduler.locations.list"
        ),
        f"{_JOBS}create": Write(jobs.create, "cloudscheduler.jobs.create"),
        f"{_JOBS}get": Read(jobs.get, "cloudscheduler.jobs.get"),
        f"{_JOBS}list": List(jobs.list_, "jobs", permission="cloudscheduler.jobs.list"),
        f"{_JOBS}patch": Write(jobs.patch, "cloudscheduler.jobs.update"),
        f"{_JOBS}delete": Write(jobs.delete, "cloudscheduler.jobs.delete"),
        f"{_JOBS}pause": Write(jobs.pause, "cloudscheduler.jobs.pause"),
        f"{_JOBS}resume": Write(jobs.resume, "cloudscheduler.jobs.enable"),
        f"{_JOBS}run": Write(jobs.run, "cloudscheduler.jobs.run"),
    },
    operations="none",
)
