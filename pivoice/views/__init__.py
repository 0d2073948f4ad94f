"""What `pivoice devices` and `pivoice monitor` show in a terminal, each in a process of its own."""
