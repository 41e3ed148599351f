#include "supervisor/instance/instance_record.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/files.h"
#include "common/json_fields.h"
#include "common/json_reader.h"

namespace zeroth {
namespace {

std::string record_path(const std::string& state) {
  return state + "/instance.json";
}

}  // namespace

Result<InstanceRecord> read_instance_record(const std::string& state) {
  const auto text = read_file(record_path(state), 64 * 1024);
  if (!text) return fail(text.error());
  const auto parsed = parse_json(*text);
  if (!parsed) return fail(Error(parsed.error()).in(record_path(state)));
  const Json& json = parsed->value;
  InstanceRecord record;
  auto identity = required_field<std::string>(json, "identity");
  if (!identity) return fail(std::move(identity.error()).in(record_path(state)));
  record.identity = std::move(*identity);
  record.worker = field_or<std::string>(json, "worker", "");
  record.former = field_or<std::vector<std::string>>(json, "former", {});
  record.runtime = field_or<std::string>(json, "runtime", "");
  record.socket = field_or<std::string>(json, "socket", "");
  record.pid_file = field_or<std::string>(json, "pid_file", "");
  record.unit = field_or<std::string>(json, "unit", "");
  if (auto process = parse_identity(json)) record.process = std::move(*process);
  return record;
}

Status write_instance_record(const std::string& state, const InstanceRecord& record) {
  Json json = {{"identity", record.identity}, {"worker", record.worker}, {"former", record.former},
               {"runtime", record.runtime},   {"socket", record.socket}, {"pid_file", record.pid_file},
               {"unit", record.unit}};
  json.update(to_json(record.process));
  return write_file_atomically(record_path(state), dump(json) + "\n");
}

Status write_pid_file(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0 && (!S_ISREG(info.st_mode) || info.st_nlink != 1))
    return fail("pid file " + path + ": not a plain file of one name", EPERM);
  const std::string folder = folder_of(path);
  if (::stat(folder.c_str(), &info) != 0) {
    if (errno == ENOENT) return fail("pid file " + path + ": no such folder", ENOENT);
    return fail(last_error("pid file " + path));
  }
  if (Status written = write_file_atomically(path, std::to_string(::getpid()) + "\n"); !written)
    return fail(std::move(written.error()).in("pid file"));
  return {};
}

void remove_pid_file(const std::string& path) {
  const auto named = read_file(path, 64);
  if (named && *named == std::to_string(::getpid()) + "\n") ::unlink(path.c_str());
}

std::vector<std::string> remove_leftovers(const InstanceRecord& dead) {
  std::vector<std::string> removed;
  if (is_alive(dead.process)) return removed;
  // A pid file that names somebody else belongs to whoever uses that runtime folder now, and so does the socket.
  const auto named = read_file(dead.pid_file, 64);
  const std::string pid = std::to_string(dead.process.pid);
  if (named && *named != pid + "\n" && *named != pid) return removed;
  if (named && ::unlink(dead.pid_file.c_str()) == 0) removed.push_back(dead.pid_file);
  struct stat info {};
  const bool is_socket = ::lstat(dead.socket.c_str(), &info) == 0 && S_ISSOCK(info.st_mode);
  if (is_socket && ::unlink(dead.socket.c_str()) == 0) removed.push_back(dead.socket);
  const std::string token = dead.runtime + "/token";
  if (::lstat(token.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::unlink(token.c_str()) == 0)
    removed.push_back(token);
  return removed;
}

}  // namespace zeroth
