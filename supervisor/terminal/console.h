#pragma once
// What happens, in lines for a person: one a reload, rejections with their caret, crashes with their reason, the
// worker's output. Made from the same events that clients get.

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "supervisor/event_hub.h"
#include "supervisor/options.h"
#include "supervisor/process/output_log.h"
#include "supervisor/terminal/screen.h"

namespace zeroth {

class Console {
 public:
  struct Names {
    std::string program;  // as shown: the file's name
    std::string control;  // socket and port
    std::string worker;
    std::size_t workers = 0;  // of a fleet; 0: a single program
  };

  // `hint`: what can be typed, told with the first lines.
  Console(Screen& screen, const Options& options, Names names, EventHub& events, std::string hint);

  // The worker's output as it comes.
  void on_output(const std::string& worker, const OutputEntry& entry);
  // "greeting.3 │ ", or nothing with --raw.
  std::string prefix_of(const std::string& worker, std::uint64_t generation) const;
  void say(const std::string& line);
  // The same behind the time of day.
  void tell(const std::string& line);
  // The same, unless only mistakes are wanted or nothing for people at all.
  void progress(const std::string& what);

 private:
  void on_event(std::string_view type, const Json& data);
  void on_reload(const Json& receipt);
  void on_first(const Json& receipt);
  void on_supervisor(const Json& data);
  // The time of day and, of one of several, the worker's name.
  std::string when(const Json& data) const;
  std::string program_of(const Json& data) const;
  void on_unchanged(const Json& data);
  void on_rejected(const Json& receipt);
  void on_crash(const Json& crash);
  void on_checkpoint(const Json& data);
  void on_env(const Json& data);
  std::string defaults_of(const Json& receipt) const;
  std::string names_of(const Json& receipt, const char* member, const char* word) const;
  std::string paint(const char* colour, const std::string& text) const;

  const Options& options_;
  Names names_;
  Screen& screen_;
  const std::string hint_;
  EventHub::Subscription subscription_;
  const bool shows_output_;  // among the messages
  bool utf8_;
  std::set<std::string> started_;               // workers
  std::map<std::string, std::string> crashed_;  // worker -> generation whose end was told last
};

}  // namespace zeroth
