#pragma once
// Base64 (RFC 4648, standard alphabet, padded), as used for numeric blocks in state documents.

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.h"

namespace zeroth {

// Appends the encoding of `bytes` to `out`; 4 characters for every 3 bytes begun.
void base64_append(std::string& out, std::string_view bytes);

// Number of bytes `text` decodes to if it is well formed.
std::size_t base64_decoded_size(std::string_view text);

// Decodes exactly base64_decoded_size(text) bytes to `out`. Fails on a character outside the alphabet, a length that is
// no multiple of 4, misplaced padding, or set bits behind the last byte; names the offset.
Status base64_decode(std::string_view text, char* out);

}  // namespace zeroth
