#include "supervisor/instance/claim.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>
#include <utility>

#include "common/clock.h"
#include "common/files.h"
#include "common/text.h"
#include "common/users.h"
#include "supervisor/instance/instance_record.h"

namespace zeroth {
namespace {

constexpr Milliseconds kLockLeaves{2'000};  // after the death of its holder; it takes an exec
constexpr Milliseconds kLockRetry{5};

// Root runs only what root wrote: whoever may write the program would be root otherwise.
tl::expected<void, StartError> check_program_owner(const std::string& path, const struct stat& info) {
  if (::geteuid() != 0 || info.st_uid == 0) return {};
  const std::string shown = escape_control(path);
  const std::string name = user_name(info.st_uid);
  const std::string id = std::to_string(info.st_uid);
  const std::string as = name.empty() ? "setpriv --reuid " + id + " --clear-groups" : "runuser -u " + name + " --";
  return refuse_start(kExitPermission, shown + ": belongs to " + (name.empty() ? "user " + id : name) +
                                           ", and root runs only programs of root; chown root " + shown +
                                           ", or run it as that user: " + as + " zeroth-supervise " + shown);
}

tl::expected<Identity, StartError> identify(const Options& options) {
  if (!options.command.empty())
    return identify_command(options.cwd.empty() ? working_folder() : options.cwd, options.command);
  const std::string& file = options.fleet.empty() ? options.program : options.fleet;
  if (auto checked = check_program(file); !checked) return tl::unexpected(checked.error());
  auto identity = identify_program(file);
  if (!identity) return refuse_start(exit_code_for(identity.error().code), identity.error().message);
  return std::move(*identity);
}

// Of a supervisor that was just killed, a child between clone and exec may still hold the lock for a moment.
Result<InstanceLock> take_lock(const std::string& state) {
  const MonotonicTime until = monotonic_now() + kLockLeaves;
  for (;;) {
    auto lock = InstanceLock::take(state);
    if (lock || lock.error().code != EWOULDBLOCK || monotonic_now() >= until) return lock;
    const auto holder = read_instance_record(state);
    if (holder && is_alive(holder->process)) return lock;
    std::this_thread::sleep_for(kLockRetry);
  }
}

void clear_leftovers(const Claim& claim, const std::string& program, const InstanceRecord* dead) {
  if (dead != nullptr) remove_leftovers(*dead);
  remove_dead_temporaries(claim.folders.state);
  remove_dead_temporaries(claim.folders.state + "/" + claim.folders.name);
  remove_dead_temporaries(claim.folders.state + "/" + claim.folders.name + "/programs");
  remove_dead_temporaries(claim.folders.runtime);
  remove_dead_temporaries(folder_of(claim.record.pid_file), name_of(claim.record.pid_file));
  if (!program.ends_with(".zero")) return;
  const std::string name = name_of(program);  // "x.z" is written beside "x.zero"
  remove_dead_temporaries(folder_of(program), name.substr(0, name.size() - 3));
}

// A program that was moved or renamed finds its own: the states that bear its earlier name, and the worker's folder.
Status take_over(const InstanceRecord& dead, Claim& claim) {
  std::vector<std::string>& former = claim.record.former;
  former = dead.former;
  if (dead.identity == claim.identity.key) return {};
  std::erase(former, claim.identity.key);
  former.push_back(dead.identity);
  const std::string& state = claim.folders.state;
  const bool renamed = !dead.worker.empty() && dead.worker != claim.folders.name && is_valid_name(dead.worker);
  if (!renamed) return {};
  const std::string from = state + "/" + dead.worker, to = state + "/" + claim.folders.name;
  if (::access(to.c_str(), F_OK) == 0 || ::access(from.c_str(), F_OK) != 0) return {};
  if (::rename(from.c_str(), to.c_str()) != 0) return fail(last_error("renaming " + from));
  return sync_folder(state);
}

std::string describe_taken_over(const std::string& from) {
  const std::string still = is_gone(from) ? "" : ", which is still there and has no state any more";
  return "took over the state of " + escape_control(from) + still;
}

// Nothing is known of this program: was it moved here?
std::string describe_left_behind(const Claim& claim, const Options& options) {
  std::string told;
  if (!options.name.empty() || !options.state_dir.empty() || options.fresh) return told;
  for (const LeftState& one : states_left_behind(folder_of(claim.folders.state), claim.identity)) {
    told += (told.empty() ? "" : "; ") + one.folder + " has the state of " + escape_control(one.key) +
            ", which is gone: if it was moved here, stop and start again with --name " + one.name + " --adopt";
  }
  return told;
}

}  // namespace

tl::expected<void, StartError> check_program(const std::string& path) {
  const auto unusable = [&path] {
    const Error error = last_error(escape_control(path));
    return refuse_start(exit_code_for(error.code), error.message);
  };
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return unusable();
  if (!S_ISREG(info.st_mode)) return refuse_start(kExitNotFound, escape_control(path) + ": not a regular file");
  if (::access(path.c_str(), R_OK) != 0) return unusable();
  return check_program_owner(path, info);
}

std::string working_folder() {
  std::string path(4096, '\0');
  return ::getcwd(path.data(), path.size()) == nullptr ? "/" : std::string(path.c_str());
}

StartError describe_taken(const Folders& folders, const Error& why) {
  if (why.code != EWOULDBLOCK) return refuse_start(why, folders.state).value();
  const auto other = read_instance_record(folders.state);
  const std::string who = other ? ", pid " + std::to_string(other->process.pid) : "";
  return {kExitTaken, folders.name + " runs already" + who + "; see 'zerothctl -n " + folders.name + " status'"};
}

tl::expected<Claim, StartError> claim_instance(const Options& options) {
  auto identity = identify(options);
  if (!identity) return tl::unexpected(std::move(identity.error()));
  auto folders = choose_folders(*identity, {options.name, options.state_dir, options.runtime_dir, options.adopt},
                                process_environment);
  if (!folders) {
    return refuse_start(folders.error().code == EACCES ? kExitPermission : kExitConfiguration, folders.error().message);
  }
  for (const std::string& folder : {folders->state, folders->runtime, folder_of(folders->socket)}) {
    if (Status prepared = prepare_private_folder(folder); !prepared) return refuse_start(prepared.error(), folder);
  }
  auto lock = take_lock(folders->state);
  if (!lock) return tl::unexpected(describe_taken(*folders, lock.error()));
  Claim claim{std::move(*identity), std::move(*folders), std::move(*lock), {}};
  claim.record.identity = claim.identity.key;
  claim.record.worker = claim.folders.name;
  claim.record.runtime = claim.folders.runtime;
  claim.record.socket = claim.folders.socket;
  claim.record.pid_file = options.pid_file.empty() ? claim.folders.runtime + "/pid" : options.pid_file;
  const auto dead = read_instance_record(claim.folders.state);
  if (dead && dead->identity != claim.identity.key && !options.adopt) {
    return refuse_start(kExitConfiguration, claim.folders.state + " belongs to " + escape_control(dead->identity) +
                                                ", not to " + escape_control(claim.identity.key) +
                                                "; --adopt takes it over");
  }
  if (!dead) claim.note = describe_left_behind(claim, options);
  if (dead && dead->identity != claim.identity.key) claim.note = describe_taken_over(dead->identity);
  if (dead) {
    if (Status taken = take_over(*dead, claim); !taken) return refuse_start(taken.error(), claim.folders.state);
  }
  clear_leftovers(claim, options.program, dead ? &*dead : nullptr);
  return claim;
}

}  // namespace zeroth
