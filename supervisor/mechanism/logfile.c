/*
 * Files of raw output: opening them safely, finding their end, and what
 * happens while they take nothing.
 *
 * Who may write when is logfile_feed's business. Which application has which
 * file is fleet's.
 */
#include "mechanism/logfile.h"

#include "base/home.h"
#include "base/log.h"
#include "base/sys.h"
#include "mechanism/ledger.h"
#include "mechanism/logfile_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
logfile_save(struct logfile *file)
{
	ledger_write(file->files->ledger, file->files->table, file->row,
		&file->state);
}

/* What is lost ------------------------------------------------------------- */

static void
say_lost(struct logfile *file)
{
	if (file->state.dropped == file->said)
		return;
	log_warn("%s: %" PRIu64 " bytes of output were lost", file->path,
		file->state.dropped - file->said);
	file->said = file->state.dropped;
}

void
logfile_drop(struct logfile *file, int error, uint64_t size)
{
	struct instant now = clock_now();

	file->state.dropped += size;
	logfile_save(file);
	if (!file->is_failing) {
		file->is_failing = true;
		log_warn("%s: %s: what should go there is lost until that is "
			 "mended",
			file->path,
			file->reason ? file->reason : strerror(-error));
		file->said_at = now;
	} else if (clock_ms_between(file->said_at, now) >= LOGFILE_SAY_MS) {
		say_lost(file);
		file->said_at = now;
	}
}

void
logfile_wrote(struct logfile *file, uint64_t size)
{
	file->state.offset += size;
	logfile_save(file);
	if (!file->is_failing)
		return;
	file->is_failing = false;
	log_info("%s takes output again", file->path);
	say_lost(file);
}

/* Opening ------------------------------------------------------------------ */

static void
close_file(struct logfile *file)
{
	if (file->fd >= 0)
		sys_close(file->fd);
	file->fd = -1;
}

/* The log folder is ours to make; any other is somebody's decision. */
static bool
make_folder(const struct logfile *file)
{
	const char *folder = file->files->folder;
	size_t size = folder ? strlen(folder) : 0;

	return size && !strncmp(file->path, folder, size) &&
	       file->path[size] == '/' && !strchr(file->path + size + 1, '/') &&
	       home_make_folder(folder) == 0;
}

static int
open_path(const struct logfile *file)
{
	/* Never waits for a FIFO's other end, never follows a link that a
	 * worker has put there, never becomes our terminal. */
	int flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = sys_open(file->path, flags, 0640);

	if (fd == -ENOENT && make_folder(file))
		fd = sys_open(file->path, flags, 0640);
	return fd;
}

/* What is open must be what may be written. Returns 0 or -EPERM. */
static int
refuse(struct logfile *file, const struct stat *status)
{
	if (!S_ISREG(status->st_mode) && !S_ISCHR(status->st_mode))
		file->reason = "it is no file";
	else if (S_ISREG(status->st_mode) && status->st_uid != geteuid())
		file->reason = "the file belongs to another user";
	else if (S_ISREG(status->st_mode) && status->st_nlink > 1)
		file->reason = "the file has a second name elsewhere";
	return file->reason ? -EPERM : 0;
}

static int
open_file(struct logfile *file)
{
	struct stat status;
	int fd = open_path(file);
	int r = fd;

	file->look_at = clock_after_ms(clock_now(), LOGFILE_RETRY_MS);
	file->reason = NULL;
	if (r == -ELOOP)
		file->reason = "it is a symbolic link, which is not followed";
	if (r >= 0)
		r = sys_fstat(fd, &status);
	if (r >= 0)
		r = refuse(file, &status);
	file->error = r < 0 ? r : 0;
	if (r < 0) {
		if (fd >= 0)
			sys_close(fd);
		return r;
	}
	file->fd = fd;
	file->opened++;
	file->is_regular = S_ISREG(status.st_mode);
	file->device = status.st_dev;
	file->inode = status.st_ino;
	return 0;
}

/* Whether the name still means what is open. */
static bool
has_its_name(struct logfile *file)
{
	struct stat status;
	struct instant now = clock_now();

	if (!clock_is_past(file->look_at, now))
		return true;
	file->look_at = clock_after_ms(now, LOGFILE_RETRY_MS);
	return sys_lstat(file->path, &status) == 0 &&
	       status.st_dev == file->device && status.st_ino == file->inode;
}

int
logfile_check(struct logfile *file)
{
	struct stat status;
	int r = 0;

	if (file->fd >= 0) {
		r = sys_fstat(file->fd, &status);
		if (r < 0 || !status.st_nlink || !has_its_name(file))
			close_file(file);
	} else if (file->error && !clock_is_past(file->look_at, clock_now())) {
		return file->error;
	}
	if (file->fd < 0) {
		r = open_file(file);
		if (r >= 0)
			r = sys_fstat(file->fd, &status);
		if (r < 0)
			return r;
	}
	if (!file->is_regular)
		return 0;
	/* The size is the truth: it is greater than what was noted when a
	 * brain died behind the call that wrote, and smaller when somebody has
	 * emptied the file or put another in its place. */
	file->state.offset = (uint64_t)status.st_size;
	return 0;
}

bool
logfile_is_in_line(const struct logfile *file)
{
	char last = '\n';

	if (file->fd < 0 || !file->is_regular || !file->state.offset)
		return false;
	(void)sys_pread(file->fd, &last, 1, (off_t)file->state.offset - 1);
	return last != '\n';
}

/* Rotating ----------------------------------------------------------------- */

void
logfile_rotate_at(struct logfile *file, const struct archive_rules *rules)
{
	file->rules = *rules;
}

bool
logfile_is_full(const struct logfile *file)
{
	return file->rules.size && file->is_regular &&
	       file->state.offset >= file->rules.size;
}

void
logfile_rotate(struct logfile *file)
{
	struct logfiles *files = file->files;
	int r = -ENOMEM;

	if (!logfile_is_full(file) ||
		(logfile_is_in_line(file) &&
			file->state.offset / 2 < file->rules.size))
		return;
	if (!files->archive)
		files->archive = archive_new(files->loop);
	if (files->archive)
		r = archive_rotate(files->archive, file->path, &file->rules);
	if (r < 0) {
		/* It grows on; and is tried again when it has doubled. */
		log_warn("%s can't be rotated: %s", file->path, strerror(-r));
		file->rules.size *= 2;
		return;
	}
	close_file(file);
	if (open_file(file) == 0)
		file->state.offset = 0;
	logfile_save(file);
}

/* Writing ------------------------------------------------------------------ */

void
logfile_append(struct logfile *file, const char *bytes, size_t size)
{
	int r = logfile_check(file);
	size_t done = 0;

	while (r >= 0 && done < size) {
		ssize_t n = file->is_regular
				    ? sys_pwrite(file->fd, bytes + done,
					      size - done,
					      (off_t)file->state.offset)
				    : sys_write(file->fd, bytes + done,
					      size - done);

		if (n > 0) {
			done += (size_t)n;
			logfile_wrote(file, (uint64_t)n);
		} else {
			r = n < 0 ? (int)n : -EIO;
		}
	}
	if (done < size)
		logfile_drop(file, r, size - done);
	else
		logfile_rotate(file);
}

/* All of them -------------------------------------------------------------- */

int
logfiles_new(struct ev_loop *loop, struct ledger *ledger, uint32_t table,
	const char *folder, struct logfiles **ret_files)
{
	struct logfiles *files = calloc(1, sizeof(*files));

	if (files && folder)
		files->folder = strdup(folder);
	if (!files || (folder && !files->folder)) {
		free(files);
		return -ENOMEM;
	}
	files->loop = loop;
	files->ledger = ledger;
	files->table = table;
	*ret_files = files;
	return 0;
}

void
logfiles_free(struct logfiles **files)
{
	if (!*files)
		return;
	archive_free(&(*files)->archive);
	free((*files)->folder);
	free(*files);
	*files = NULL;
}

int
logfiles_reopen(struct logfiles *files)
{
	int error = 0;

	for (struct logfile *file = files->first; file; file = file->next) {
		close_file(file);
		(void)open_file(file);
		if (file->error)
			logfile_drop(file, file->error, 0);
		if (!error)
			error = file->error;
	}
	return error;
}

/* FNV-1a: paths are told apart by 64 bits; a mix-up would cost no byte. */
static uint64_t
key_of(const char *path)
{
	uint64_t key = UINT64_C(14695981039346656037);

	for (; *path; path++)
		key = (key ^ (unsigned char)*path) * UINT64_C(1099511628211);
	return key ? key : 1;
}

/* The row that an earlier brain wrote, or a new one. */
static int
find_row(struct logfile *file)
{
	const struct logfiles *files = file->files;
	uint32_t used = ledger_used(files->ledger, files->table);
	uint64_t key = key_of(file->path);
	struct logfile_state state;

	for (uint32_t row = 0; row < used; row++) {
		if (ledger_read(files->ledger, files->table, row, &state) < 0 ||
			state.key != key)
			continue;
		file->row = row;
		file->state = state;
		file->said = state.dropped;
		return 0;
	}
	file->state.key = key;
	return ledger_add(
		files->ledger, files->table, &file->state, &file->row);
}

int
logfile_get(struct logfiles *files, const char *path, struct logfile **ret_file)
{
	struct logfile *file = files->first;
	int r;

	while (file && strcmp(file->path, path))
		file = file->next;
	if (file) {
		file->references++;
		*ret_file = file;
		return 0;
	}
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->files = files;
	file->references = 1;
	file->fd = -1;
	file->waiting_end = &file->waiting;
	file->path = strdup(path);
	r = file->path ? find_row(file) : -ENOMEM;
	if (r < 0) {
		free(file->path);
		free(file);
		return r;
	}
	ev_timer_init(&file->patience, logfile_on_patience,
		LOGFILE_LINE_MS / 1e3, 0.);
	file->patience.data = file;
	file->next = files->first;
	files->first = file;
	*ret_file = file;
	return 0;
}

void
logfile_release(struct logfile **file)
{
	struct logfile *at = *file;
	struct logfile **link;

	*file = NULL;
	if (!at || --at->references)
		return;
	for (link = &at->files->first; *link != at; link = &(*link)->next)
		;
	*link = at->next;
	if (at->is_failing)
		say_lost(at);
	ev_timer_stop(at->files->loop, &at->patience);
	close_file(at);
	ledger_erase(at->files->ledger, at->files->table, at->row);
	free(at->path);
	free(at);
}

uint64_t
logfile_dropped(const struct logfile *file)
{
	return file->state.dropped;
}
