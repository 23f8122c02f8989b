"""Vehicles that drive past roadside units: who hands out which job, what becomes of it on the way, budgets of tasks."""
