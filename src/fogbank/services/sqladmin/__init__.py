"""Cloud SQL (``sqladmin.googleapis.com``): PostgreSQL with private addresses, databases, users."""

from fogbank.services.contract import List, Read, Service, Write
from fogbank.services.sqladmin import databases, instances, operations

SERVICE = Service(
    name="sqladmin",
    title="Cloud SQL Admin API",
    versions=("v1", "v1beta4"),
    methods={
        "sql.instances.insert": Write(instances.insert, "cloudsql.instances.create"),
        "sql.instances.get": Read(instances.get, "cloudsql.instances.get"),
        "sql.instances.list": List(instances.list_, permission="cloudsql.instances.list"),
        "sql.instances.patch": Write(instances.patch, "cloudsql.instances.update"),
        "sql.instances.update": Write(instances.update, "cloudsql.instances.update"),
        "sql.instances.restart": Write(instances.restart, "cloudsql.instances.restart"),
        "sql.instances.delete": Write(instances.delete, "cloudsql.instances.delete"),
        "sql.connect.get": Read(instances.connect_settings, "cloudsql.instances.get"),
        "sql.databases.insert": Write(databases.insert_database, "cloudsql.databases.create"),
        "sql.databases.get": Read(databases.get_database, "cloudsql.databases.get"),
        "sql.databases.list": List(databases.list_databases, permission="cloudsql.databases.list"),
        "sql.databases.delete": Write(databases.delete_database, "cloudsql.databases.delete"),
        "sql.users.insert": Write(databases.insert_user, "cloudsql.users.create"),
        "sql.users.get": Read(databases.get_user, "cloudsql.users.get"),
        "sql.users.list": List(databases.list_users, permission="cloudsql.users.list"),
        "sql.users.update": Write(databases.update_user, "cloudsql.users.update"),
        "sql.users.delete": Write(databases.delete_user, "cloudsql.users.delete"),
        "sql.operations.get": Read(operations.get, "cloudsql.instances.get"),
        "sql.operations.list": List(operations.list_, permission="cloudsql.instances.get"),
        "sql.tiers.list": List(instances.tiers, permission="cloudsql.instances.list"),
        "sql.flags.list": List(instances.flags, permission="none"),
    },
    errors="reasons",
    operations="none",
    permissions=("cloudsql.instances.connect",),
)
