#pragma once
// The first statement of every main of ours.

namespace zeroth {

// Makes the process independent of what its parent did with signals, which survives exec: nothing is blocked, what was
// ignored has its default action again, and SIGPIPE and SIGXFSZ are ignored so that a write fails instead of killing
// us.
void reset_signals();

// Holds SIGTERM, SIGINT and SIGHUP back until they are let through: between them a program may make files and claims
// that its handlers are to clear away, before it has handlers. What came meanwhile arrives then. Threads made between
// inherit the mask; spawn() clears it in the child.
void hold_stop_signals();
void let_stop_signals_through();

// A program started with stdin, stdout or stderr closed gets /dev/null there, so that no file of ours takes their
// numbers.
void claim_standard_streams();

}  // namespace zeroth
