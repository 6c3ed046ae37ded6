"""What programs and machines cost: FLOPs, bytes, seconds, hardware."""
