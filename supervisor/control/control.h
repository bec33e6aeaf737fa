/*
 * control.h: the control socket and the bus: who may come in, and what they may
 * ask.
 *
 * Clients speak the channel protocol. The first frame is `hello`; over the UNIX
 * socket the kernel's credentials say who it is, and only the same user or root
 * may come in. Over TCP a token says it, and only guests may come in. What a
 * client asks of address 0 is looked up in one table of methods by role.
 */
#ifndef MUSTER_CONTROL_H
#define MUSTER_CONTROL_H

struct control;
struct ev_loop;
struct exchange;
struct fleet;

enum {
	/* Each kind has its own bound, so that none keeps another out:
	 * guests over the UNIX socket, whoever came over TCP, and operators
	 * with those who haven't said yet which they are. */
	CONTROL_GUESTS_MAX = 1024,
	CONTROL_REMOTE_MAX = 1024,
	CONTROL_OTHERS_MAX = 256, /* more are closed at once */
	CONTROL_HELLO_MS = 5000,  /* who says nothing is closed */
};

/*
 * Serves `fd`, the listening socket (taken over, also on failure), or none
 * where it is -1. Returns 0 or -ENOMEM. Loop's thread only.
 */
int control_new(struct ev_loop *loop, struct exchange *exchange,
	struct fleet *fleet, int fd, struct control **ret_control);

/* Serves the bus too, where the fleet has one. Call it again when that changes.
 */
void control_use_bus(struct control *control);

/* Closes all clients and the socket. Accepts NULL. */
void control_free(struct control **control);

#endif
