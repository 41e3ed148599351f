#pragma once
// Makes an instance ours: the program is fit to be run, its folders are there, the lock is held and what a dead
// predecessor left is cleared away. The first thing that Supervisor does; nothing of it runs yet.

#include <string>

#include "supervisor/instance/identity.h"
#include "supervisor/instance/instance_lock.h"
#include "supervisor/instance/instance_record.h"
#include "supervisor/options.h"
#include "supervisor/start_error.h"

namespace zeroth {

struct Claim {
  Identity identity;
  Folders folders;
  InstanceLock lock;
  InstanceRecord record;  // all but process and unit; to be written when the instance answers
  std::string note = "";  // what a person should know of the state that was found, or was not; "" if it is as expected
};

// A program must be a regular file that can be read, and as root one of root.
tl::expected<void, StartError> check_program(const std::string& path);

// Where a command runs if nothing else was asked for; "/" if that cannot be said.
std::string working_folder();

// The message names what is wrong; whoever holds the lock is named, and so is the owner of a program or folder that
// is not ours to use.
tl::expected<Claim, StartError> claim_instance(const Options& options);

// That the lock cannot be had, because of `why`.
StartError describe_taken(const Folders& folders, const Error& why);

}  // namespace zeroth
