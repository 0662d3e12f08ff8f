// What Swift cannot say on Linux by itself: instructions (CRC32C) and the system calls and constants that Glibc's
// module map lacks. Nothing here decides anything. `_GNU_SOURCE` is defined in the .c files only: defining it in a
// header that Swift imports breaks the Glibc module.
#ifndef CAIRN_CLINUX_H
#define CAIRN_CLINUX_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli) of `length` bytes, continuing from `crc` (0 for a fresh checksum).
uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t length);

/// The portable implementation, for comparison with the hardware one.
uint32_t cairn_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

#endif
