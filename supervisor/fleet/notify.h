/*
 * notify.h: readiness and signs of life from programs that know nothing of
 * muster: systemd's notification protocol (sd_notify(3)), and s6's newline on a
 * descriptor (`notify_fd`). Loop's thread only.
 *
 * One datagram socket is for all workers. It has an address of the abstract
 * kind, which every user, chroot and read-only root reaches; who speaks is told
 * by the kernel: a worker, or a process of its group.
 */
#ifndef MUSTER_FLEET_NOTIFY_H
#define MUSTER_FLEET_NOTIFY_H

struct fleet;
struct process;

/* Makes the socket and hands it to the keeper, for a first start. Returns 0 or
 * a negative errno. */
int notify_plan(struct fleet *fleet);

/* Takes it from the vault and listens. Where there is none (the brain before
 * had none either) workers go without. */
void notify_open(struct fleet *fleet);
void notify_close(struct fleet *fleet);

/* What NOTIFY_SOCKET is, "@…"; NULL: there is no socket. */
const char *notify_address(const struct fleet *fleet);

/*
 * The pipe of `notify_fd`: `fd` is our end, taken over. It is read until a
 * newline comes or the worker has closed it.
 */
void notify_pipe_open(struct process *process, int fd);
void notify_pipe_close(struct process *process);

#endif
