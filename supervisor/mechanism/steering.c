/*
 * The programs, instruction by instruction. Why and when they change is
 * fleet/reuseport's business.
 */
#include "mechanism/steering.h"

#include "base/sys.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

enum {
	/* The longest way to a number, then two for each place. */
	HEAD_MAX = 16,
	PROGRAM_MAX = HEAD_MAX + 2 * STEERING_PLACES_MAX,
	/* Of an IP header: its version, and where the sender stands. */
	FOUR_SOURCE = 12,
	FOUR_PORT = 20,
	SIX_SOURCE = 8 + 12, /* the last word: it tells hosts apart */
	SIX_PORT = 40,
	/* Knuth's multiplier: near addresses are spread over all numbers. */
	SPREAD = (int)2654435769u,
};

struct program {
	struct sock_filter steps[PROGRAM_MAX];
	unsigned short count;
};

static void
add(struct program *program, uint16_t code, uint8_t yes, uint8_t no, uint32_t k)
{
	program->steps[program->count++] =
		(struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void
add_plain(struct program *program, uint16_t code, uint32_t k)
{
	add(program, code, 0, 0, k);
}

/* A number made of the sender's address and port. IPv4 comes to IPv6 sockets
 * too, so the packet tells which it is. */
static void
add_sender(struct program *program)
{
	const uint32_t head = (uint32_t)SKF_NET_OFF;

	add_plain(program, BPF_LD | BPF_B | BPF_ABS, head);
	add_plain(program, BPF_ALU | BPF_AND | BPF_K, 0xf0);
	add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0x40);
	add_plain(program, BPF_LD | BPF_H | BPF_ABS, head + FOUR_PORT);
	add_plain(program, BPF_MISC | BPF_TAX, 0);
	add_plain(program, BPF_LD | BPF_W | BPF_ABS, head + FOUR_SOURCE);
	add_plain(program, BPF_JMP | BPF_JA, 3);
	add_plain(program, BPF_LD | BPF_H | BPF_ABS, head + SIX_PORT);
	add_plain(program, BPF_MISC | BPF_TAX, 0);
	add_plain(program, BPF_LD | BPF_W | BPF_ABS, head + SIX_SOURCE);
	add_plain(program, BPF_ALU | BPF_XOR | BPF_X, 0);
	add_plain(program, BPF_ALU | BPF_MUL | BPF_K, (uint32_t)SPREAD);
	add_plain(program, BPF_ALU | BPF_RSH | BPF_K, 16);
}

static void
add_choice(struct program *program, const uint32_t *places, size_t count)
{
	bool is_prefix = true;

	add_plain(program, BPF_ALU | BPF_MOD | BPF_K, (uint32_t)count);
	for (size_t i = 0; i < count; i++)
		is_prefix = is_prefix && places[i] == i;
	if (is_prefix) {
		add_plain(program, BPF_RET | BPF_A, 0);
		return;
	}
	for (size_t i = 0; i + 1 < count; i++) {
		add(program, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)i);
		add_plain(program, BPF_RET | BPF_K, places[i]);
	}
	add_plain(program, BPF_RET | BPF_K, places[count - 1]);
}

int
steering_set(int fd, const uint32_t *places, size_t count)
{
	struct program program = {.count = 0};
	struct sock_fprog given;
	int type;
	socklen_t size = sizeof(type);
	int r = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);

	if (r < 0)
		return r;
	if (count == 0 || count > STEERING_PLACES_MAX)
		return -EINVAL;
	if (type == SOCK_STREAM)
		add_plain(&program, BPF_LD | BPF_W | BPF_ABS,
			(uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	else
		add_sender(&program);
	add_choice(&program, places, count);
	given = (struct sock_fprog){
		.len = program.count, .filter = program.steps};
	return sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &given,
		sizeof(given));
}

int
steering_queue(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);
	int r = sys_getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);

	/* Of a listening socket this is the length of its accept queue. */
	return r < 0 ? r : (int)info.tcpi_unacked;
}
