#pragma once
// What may be shown where a person reads: colours, moves of the cursor, characters beyond ASCII.

namespace zeroth {

// A terminal that understands more than lines: not TERM=dumb, and not without TERM.
bool is_capable_terminal(int fd);
// The same, and NO_COLOR is not set (an empty one counts as not set).
bool colours_wanted(int fd);
// As LC_ALL, LC_CTYPE or LANG say.
bool locale_is_utf8();

}  // namespace zeroth
