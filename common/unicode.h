#pragma once
// The one question the language asks of Unicode's tables (version 15).

namespace zeroth {

// True for white space, control and format characters (categories Zs, Zl, Zp, Cc, Cf), ASCII ones included: what a
// reader cannot see and a terminal may obey. Not allowed in names.
bool is_invisible(char32_t code);

}  // namespace zeroth
