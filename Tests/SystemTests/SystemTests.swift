import Testing

// Real processes on loopback: the binary that stands beside the test bundle, real sockets, real files, real signals.
// All suites of this module hang below this one and take turns, because they share the machine's time.
// Nothing here sleeps for a fixed time: what must become true is looked for until a generous deadline.

@Suite(.turns) struct SystemTests {}
