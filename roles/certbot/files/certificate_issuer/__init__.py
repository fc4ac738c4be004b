"""The service's certificate on several balancers: one issues and hands on, every one tells what it serves."""
