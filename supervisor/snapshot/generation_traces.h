#pragma once
// What generations leave behind in a worker's folder besides generations.jsonl, which may be lost or damaged: enough to
// know that a number was used.

#include <cstdint>
#include <string>

namespace zeroth {

// The highest number in the headers of the newest snapshots whose frame is right and in the names alive-<N> and
// emergency-<N>.json, also of its temporary and stale ones; 0 if there is none. Changes nothing. Blocks.
std::uint64_t highest_traced_generation(const std::string& worker_folder);

// The same of file names alone, in a folder that nobody but us writes to.
std::uint64_t highest_named_generation(const std::string& folder);

}  // namespace zeroth
