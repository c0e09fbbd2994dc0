"""The figures, one file each: functions of tables and a spec."""
