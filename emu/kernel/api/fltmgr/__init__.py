"""The Filter Manager, fltmgr.sys: what minifilters register with it, ask of it, and are called with."""
