/*
 * record.c: two copies, a counter and a CRC each. What the records mean is
 * their owner's business (ledger, requests); this file only makes sure that a
 * writer killed between any two instructions leaves one right copy.
 *
 * The counter is stored last, so a copy that was being written still has its
 * old counter: it is the older one, the next writer takes the same place
 * again, and its CRC, which covers the counter, doesn't fit.
 */
#include "base/record.h"

#include <errno.h>
#include <string.h>

struct copy {
	uint32_t counter; /* 0: never completed */
	uint32_t crc;	  /* of counter and payload */
	unsigned char payload[];
};

static const struct copy *
copy_at(const void *place, int which, size_t size)
{
	return (const void *)((const char *)place +
			      (size_t)which * (sizeof(struct copy) + size));
}

static uint32_t
crc_of(uint32_t counter, const void *payload, size_t size)
{
	uint32_t crc = record_crc(0, &counter, sizeof(counter));

	return record_crc(crc, payload, size);
}

/* The index of the copy with the newer counter; it may be a wrong one. */
static int
newer(const void *place, size_t size)
{
	uint32_t first = copy_at(place, 0, size)->counter;
	uint32_t second = copy_at(place, 1, size)->counter;

	if (first == 0 || second == 0)
		return first == 0;
	return (int32_t)(second - first) > 0;
}

void
record_write(void *place, const void *payload, size_t size)
{
	int newest = newer(place, size);
	struct copy *target =
		(struct copy *)(uintptr_t)copy_at(place, !newest, size);
	uint32_t counter = copy_at(place, newest, size)->counter + 1;

	if (counter == 0)
		counter = 1;
	memcpy(target->payload, payload, size);
	target->crc = crc_of(counter, payload, size);
	/* Release: nothing above may sink below the store that counts. */
	__atomic_store_n(&target->counter, counter, __ATOMIC_RELEASE);
}

int
record_read(const void *place, void *ret_payload, size_t size)
{
	int which = newer(place, size);
	int written = 0;

	for (int i = 0; i < 2; i++, which = !which) {
		const struct copy *copy = copy_at(place, which, size);

		if (copy->counter == 0)
			continue;
		written = 1;
		if (copy->crc == crc_of(copy->counter, copy->payload, size)) {
			memcpy(ret_payload, copy->payload, size);
			return 0;
		}
	}
	return written ? -EBADMSG : -ENOENT;
}

static uint32_t
crc_by_table(uint32_t crc, const unsigned char *bytes, size_t size)
{
	/* CRC-32C (Castagnoli), reflected, for half a byte at a time. */
	static const uint32_t table[16] = {0x00000000, 0x105ec76f, 0x20bd8ede,
		0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4,
		0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};

	for (; size; size--, bytes++) {
		crc ^= *bytes;
		crc = (crc >> 4) ^ table[crc & 15];
		crc = (crc >> 4) ^ table[crc & 15];
	}
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc_by_cpu(uint32_t crc, const unsigned char *bytes, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; size -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, 8);
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; size; size--, bytes++)
		crc = __builtin_ia32_crc32qi(crc, *bytes);
	return crc;
}
#endif

uint32_t
record_crc(uint32_t crc, const void *bytes, size_t size)
{
	crc = ~crc;
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_by_cpu(crc, bytes, size);
#endif
	return ~crc_by_table(crc, bytes, size);
}
