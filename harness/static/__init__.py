"""Static stack figures: prologues, stack-height data flow and second opinions from debug information."""
