"""Whole screens as people record them, with every pixel's meaning known: what the screen parser learns from and is judged on.

Enter with `screens.compose.draw_screen_clip`; above the simulator. Never decides anything about a real screen."""
