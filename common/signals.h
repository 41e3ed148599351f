#pragma once
// The first statement of every main of ours.

namespace zeroth {

// Makes the process independent of what its parent did with signals, which survives exec: nothing is blocked, what was
// ignored has its default action again, and SIGPIPE and SIGXFSZ are ignored so that a write fails instead of killing
// us.
void reset_signals();

// A program started with stdin, stdout or stderr closed gets /dev/null there, so that no file of ours takes their
// numbers.
void claim_standard_streams();

}  // namespace zeroth
