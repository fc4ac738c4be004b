from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_roles_and_logins")]

    operations = [ValidateConstraint("user", "accounts_user_role_known")]
