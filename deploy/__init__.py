"""How things change: inventory, the roles' declarations, secrets, releases, and the tasks that call them."""
