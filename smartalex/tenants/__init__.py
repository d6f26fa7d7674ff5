"""What tenants own, as values: workspaces, trunks, DIDs, directories, agents.  No I/O."""
