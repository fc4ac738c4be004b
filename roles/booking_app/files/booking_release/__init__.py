"""What `booking-release` does on a host. Python's standard library only: hosts install no packages."""
