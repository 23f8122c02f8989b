"""Vehicles that move, roadside units, and which unit serves whom when."""
