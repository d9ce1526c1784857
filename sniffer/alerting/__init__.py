"""Alerting: findings of one rule on one channel as one alert, and the sensor's own conditions as alerts too."""

from __future__ import annotations

from sniffer.alerting.compose import alert_id
from sniffer.alerting.conditions import CATEGORY, CONDITIONS, Condition
from sniffer.alerting.desk import MAX_ACTIVE, MAX_CONDITIONS, Alerting

__all__ = ["CATEGORY", "CONDITIONS", "MAX_ACTIVE", "MAX_CONDITIONS", "Alerting", "Condition", "alert_id"]
