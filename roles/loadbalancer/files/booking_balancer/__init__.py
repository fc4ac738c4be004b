"""What `booking-balancer` does on a load balancer. Python's standard library only: hosts install no packages."""
