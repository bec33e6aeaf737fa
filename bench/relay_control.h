/*
 * relay_control.h: how bench/relay tells its workers what to do. They have a
 * SEQPACKET socket to the driver beside their channel, so that nothing of it
 * goes through what is measured. Both come from one build: plain structs.
 *
 * A worker says RELAY_HELLO when it is ready, answers each command with a
 * report of the same kind, and a receiver's command twice: RELAY_LISTENING
 * when messages may come, then its result after the sender's last message.
 */
#ifndef BENCH_RELAY_CONTROL_H
#define BENCH_RELAY_CONTROL_H

#include <stdint.h>

enum relay_order {
	RELAY_HELLO = 1,
	RELAY_LISTENING,
	RELAY_COUNT, /* count what comes until the last message */
	RELAY_ECHO,  /* send each message back until the last message */
	RELAY_SEND,  /* stream to `receivers` from id `to` on, or to all */
	RELAY_PINGS, /* round trips to `to` */
	RELAY_BEATS, /* heartbeat requests, a window at a time */
};

#define RELAY_TO_ALL 0xffffffffu
#define RELAY_TO_TOPIC 0xfffffffdu

struct relay_command {
	uint32_t order; /* enum relay_order */
	uint32_t to;
	uint32_t receivers;
	uint32_t size; /* bytes of a body */
	int32_t cpu;   /* to be tied to, or MEASURE_ANY_CPU */
	uint32_t flushed;
	uint64_t duration_ns;
};

struct relay_report {
	uint32_t order;
	uint32_t id;	/* the worker's */
	uint64_t count; /* messages, without the first and the last */
	uint64_t first_ns, last_ns;
	double p50_us, p99_us;
};

#endif
