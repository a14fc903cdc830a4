"""Wiring: definitions, jobs, schedules, sensors, the ablation engine and the `cookbook` CLI."""
