"""A fleet's scheduled jobs: each due time is one host's."""
