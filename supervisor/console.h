#pragma once
// What a person at the terminal sees in the foreground: one line a reload, rejections with their caret, crashes with
// their reason, the worker's output. Made from the same events that clients get. Messages go to stderr, the worker's
// output to stdout.

#include <cstdint>
#include <string>

#include "supervisor/event_hub.h"
#include "supervisor/options.h"
#include "supervisor/outlet.h"
#include "supervisor/process/output_log.h"

namespace zeroth {

class Console {
 public:
  struct Names {
    std::string program;  // as shown: the file's name
    std::string socket;
    std::string state_dir;
  };

  Console(Loop& loop, const Options& options, Names names, EventHub& events);

  // The worker's output as it comes.
  void on_output(const std::string& worker, const OutputEntry& entry);
  void say(const std::string& line);
  void progress(const std::string& what);

 private:
  void on_event(std::string_view type, const Json& data);
  void on_reload(const Json& receipt);
  void on_first(const Json& receipt);
  void on_unchanged(const Json& data);
  void on_rejected(const Json& receipt);
  void on_crash(const Json& crash);
  void on_checkpoint(const Json& data);
  std::string defaults_of(const Json& receipt) const;
  std::string names_of(const Json& receipt, const char* member, const char* word) const;
  std::string paint(const char* colour, const std::string& text) const;

  const Options& options_;
  Names names_;
  Outlet out_, err_;
  EventHub::Subscription subscription_;
  bool colour_;
  bool utf8_;
  bool started_ = false;
};

}  // namespace zeroth
