"""The release engine: how a new version of the booking service arrives on the hosts, and how it goes back."""
