"""What is on a screen: sector, colour box, flow, overlay, kind of image, and what of it may leave the hospital.

Enter with `screen.analysis.analyse`; above readers. Never opens a file, never writes one."""
