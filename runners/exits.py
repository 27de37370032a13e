"""What the shell is told when a command did not end well; 0 is well."""

FAILED = 1  # a seed of a sweep came to nothing
REFUSED = 2  # bad input, explained; or a game that is not proved
INTERRUPTED = 130  # stopped by Ctrl-C: 128 + SIGINT, as shells count
UNHEARD = 141  # the reader of our output went away: 128 + SIGPIPE
