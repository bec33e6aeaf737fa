/*
 * worker_environment.h: what a worker finds in its environment. Loop's thread
 * only.
 */
#ifndef MUSTER_FLEET_WORKER_ENVIRONMENT_H
#define MUSTER_FLEET_WORKER_ENVIRONMENT_H

struct app_config;
struct process;

enum {
	WORKER_FIRST_LISTENER = 3, /* as systemd has it */
};

/* A new list of KEY=VALUE, ending with NULL, to be freed by
 * config_free_strings; NULL without memory. */
char **worker_environment(const struct process *process);

/* The numbers of the channel and of the resume socket: behind the listeners,
 * and beside notify_fd. */
int worker_channel_number(const struct app_config *config);
int worker_resume_number(const struct app_config *config);

#endif
