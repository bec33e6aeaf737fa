/*
 * home.h: where muster's files are. One set of rules for the keeper, which
 * makes and locks the place, and for the command, which looks for it.
 *
 * MUSTER_HOME puts everything under one folder. Without it: the runtime folder
 * is $XDG_RUNTIME_DIR/muster, for root /run/muster; without XDG_RUNTIME_DIR
 * /run/user/UID/muster where /run/user/UID is ours, else /tmp/muster-UID,
 * refused when it isn't a folder of ours with mode 0700. State is in
 * $XDG_STATE_HOME/muster (~/.local/state/muster), for root /var/lib/muster;
 * logs in state/logs, for root /var/log/muster. Without HOME the password
 * entry's directory counts.
 */
#ifndef MUSTER_HOME_H
#define MUSTER_HOME_H

enum {
	HOME_PATH_SIZE = 4096,
	HOME_SOCKET_PATH_MAX = 107, /* bytes that a socket's address holds */
};

struct home {
	char runtime[HOME_PATH_SIZE]; /* muster.sock and lock */
	char state[HOME_PATH_SIZE];   /* dump.json, muster.log */
	char logs[HOME_PATH_SIZE];
};

/*
 * Works out the folders from the environment; makes nothing.
 * Returns 0; -ENAMETOOLONG: a path over its bound; -ENOENT: no home can be
 * told (no HOME and no password entry); -EPERM: /tmp/muster-UID is needed and
 * is not a folder of ours with mode 0700.
 */
int home_resolve(struct home *ret_home);

/*
 * Makes the runtime folder `path` with its parents (0700) and checks that it is
 * a folder of ours that only we may write.
 * Returns 0; -EPERM: somebody else's, or open to others; -ENOTDIR; or what
 * mkdir said.
 */
int home_make_folder(const char *path);

/*
 * Writes "`folder`/`name`" to `ret_path` of HOME_PATH_SIZE bytes.
 * Returns 0 or -ENAMETOOLONG; for a socket (`is_socket`) that bound is
 * HOME_SOCKET_PATH_MAX.
 */
int home_path(
	char *ret_path, const char *folder, const char *name, int is_socket);

#endif
