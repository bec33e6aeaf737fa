/*
 * protocol.h: what both ends of a channel must agree on.
 *
 * Numbers, names of environment variables and limits of the channel protocol,
 * version 1 (muster-protocol(7)). Nothing here is a choice of one side: who
 * changes a value changes the protocol.
 */
#ifndef MUSTER_PROTOCOL_H
#define MUSTER_PROTOCOL_H

enum {
	MUSTER_PROTOCOL_VERSION = 1,
	MUSTER_HEADER_SIZE = 32,       /* bytes */
	MUSTER_NAME_MAX = 255,	       /* bytes of a topic or application */
	MUSTER_MAX_MESSAGE = 16777216, /* bytes after the header, default */
	MUSTER_MAX_TO_SUPERVISOR = 1 << 20, /* bytes of a frame to address 0 */
	MUSTER_SOCKET_BUFFER = 512 * 1024,  /* SO_SNDBUF that both ends ask */
	MUSTER_ACK_FRAMES = 256, /* acknowledge after so many frames … */
	/* … or bytes. The protocol's bound is 1 MiB; sooner keeps what waits to
	 * be acknowledged in the cache, on both sides … */
	MUSTER_ACK_BYTES = 256 * 1024,
	MUSTER_ACK_DELAY_MS = 50,      /* … or after this time */
	MUSTER_UNACKED_MAX = 4 << 20,  /* bytes a sender keeps at most */
	MUSTER_FDS_MAX = 253,	       /* the kernel's SCM_MAX_FD */
	MUSTER_FDS_UNCLAIMED_MAX = 16, /* the 16th ends the channel */
	MUSTER_OPEN_REQUESTS_SENDER = 16384,
	MUSTER_OPEN_REQUESTS_MAX = 65536,
};

enum muster_kind {
	MUSTER_MESSAGE = 1,
	MUSTER_REQUEST = 2,
	MUSTER_REPLY = 3,
	MUSTER_ERROR = 4,
	MUSTER_PUBLISH = 5,
};

enum muster_flag {
	MUSTER_FLAG_FD = 1,	 /* one descriptor travels with the frame */
	MUSTER_FLAG_BRIDGED = 2, /* it came in from another host */
};

/* Addresses. Workers have 1 … 0x3fffffff, clients 0x40000000 and up. */
#define MUSTER_TO_SUPERVISOR 0u
#define MUSTER_FIRST_CLIENT 0x40000000u
#define MUSTER_LAST_ENDPOINT 0x7fffffffu
#define MUSTER_TO_ANY 0xfffffffeu
#define MUSTER_TO_ALL 0xffffffffu

/* Environment of a worker. */
#define MUSTER_ENV_CHANNEL "MUSTER_CHANNEL_FD"
#define MUSTER_ENV_RESUME "MUSTER_RESUME_FD"
#define MUSTER_ENV_ID "MUSTER_WORKER_ID"
#define MUSTER_ENV_APP "MUSTER_APP"
#define MUSTER_ENV_INSTANCE "MUSTER_INSTANCE"
#define MUSTER_ENV_GENERATION "MUSTER_GENERATION"

#endif
