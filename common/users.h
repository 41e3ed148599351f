#pragma once
// Users for people: whose a file is, in a message.

#include <sys/types.h>

#include <string>

namespace zeroth {

// The name of a user, "" if the system knows none.
std::string user_name(uid_t user);
// "alice (uid 1000)", "uid 1000" without a name.
std::string describe_user(uid_t user);

}  // namespace zeroth
