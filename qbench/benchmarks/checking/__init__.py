"""Whether a suite holds water: its own references, its own blunders, its own seeds."""
