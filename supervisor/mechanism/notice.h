/*
 * notice.h: what a datagram of systemd's notification protocol says
 * (sd_notify(3)): lines KEY=VALUE. Pure.
 */
#ifndef MUSTER_NOTICE_H
#define MUSTER_NOTICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NOTICE_SIZE_MAX = 4096, /* bytes of one datagram; longer ones are cut */
	NOTICE_STATUS_SIZE = 128,
};

struct notice {
	bool ready, stopping;
	bool is_alive;	   /* WATCHDOG=1 */
	bool is_hung;	   /* WATCHDOG=trigger: it says so itself */
	bool has_status;   /* STATUS=, "" included */
	int64_t extend_ms; /* EXTEND_TIMEOUT_USEC=, rounded up; 0: not said */
	unsigned ignored;  /* lines that mean nothing here */
	/* UTF-8, cut between two characters; not escaped. */
	char status[NOTICE_STATUS_SIZE];
};

/*
 * Reads `text` of `size` bytes, which may hold anything. Lines of a later place
 * overrule earlier ones.
 */
void notice_read(const char *text, size_t size, struct notice *ret_notice);

#endif
