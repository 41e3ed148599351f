#pragma once
// The commit that a working tree is at, read from the files of its repository; git itself is not run.

#include <string>

namespace zeroth {

// Of the repository that holds `folder`: 40 or 64 hex digits; "" if there is none, or it has no commit yet. Blocks.
std::string git_commit_of(const std::string& folder);

}  // namespace zeroth
