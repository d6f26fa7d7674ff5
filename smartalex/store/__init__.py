"""What outlives a call and a process: the database, the vault, the journal of records, messages."""
