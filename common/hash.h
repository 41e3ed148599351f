#pragma once
// XXH3-128 (https://xxhash.com), the one hash of the project: program identity, snapshot checksums, fingerprints.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace zeroth {

// 32 lower-case hex digits, most significant first (the canonical representation of XXH3-128).
std::string xxh3_hex(std::string_view bytes);

// The same over bytes that arrive in pieces.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;
  void update(std::string_view bytes);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace zeroth
