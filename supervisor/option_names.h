#pragma once
// How the values of an option with choices are written: on the command line, and where they are shown.

#include <map>
#include <string>

#include "supervisor/options.h"

namespace zeroth {

inline const std::map<std::string, ReloadMode> kReloadModes = {
    {"overlap", ReloadMode::Overlap}, {"recreate", ReloadMode::Recreate}, {"exec", ReloadMode::Exec}};
inline const std::map<std::string, RestartOn> kRestartOn = {
    {"on-failure", RestartOn::OnFailure}, {"always", RestartOn::Always}, {"never", RestartOn::Never}};
inline const std::map<std::string, OnLoss> kOnLoss = {{"keep", OnLoss::Keep}, {"refuse", OnLoss::Refuse}};
inline const std::map<std::string, LogFormat> kLogFormats = {{"text", LogFormat::Text}, {"json", LogFormat::JsonLines}};

// "auto" for what is no choice of a person's.
template <class T>
std::string name_of_value(const std::map<std::string, T>& names, T value) {
  for (const auto& [name, candidate] : names) {
    if (candidate == value) return name;
  }
  return "auto";
}

}  // namespace zeroth
