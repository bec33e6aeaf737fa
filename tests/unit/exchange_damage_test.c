/*
 * A damaged exchange memory: whatever stands in it, a brain that opens it goes
 * on. What is left of the messages can't be promised; that nothing crashes,
 * hangs or reads behind a block is. Fault book: K (damaged records).
 */
#include "exchange_world.h"

#include <sys/wait.h>

enum {
	DAMAGE_ROUNDS = 1500,
	DAMAGE_ROWS = 8,
	DAMAGE_SECONDS = 20, /* a brain that takes longer hangs */
};

static uint64_t seed;

static uint32_t
draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 20) % below;
}

/* Something that a field doesn't expect. */
static uint32_t
draw_value(uint32_t before)
{
	switch (draw(6)) {
	case 0:
		return 0;
	case 1:
		return UINT32_MAX - draw(3);
	case 2:
		return before + 1 + draw(3);
	case 3:
		return before ^ 1u << draw(32);
	case 4:
		return draw(5000);
	default:
		return (uint32_t)(seed >> 16);
	}
}

static void
damage_word(void *at, size_t words)
{
	uint8_t *word = (uint8_t *)at + 4 * (size_t)draw((uint32_t)words);
	uint32_t value;

	memcpy(&value, word, sizeof value);
	value = draw_value(value);
	memcpy(word, &value, sizeof value);
}

/* One change in a place where something stands. */
static void
damage_once(const struct memory_view *view)
{
	uint32_t c = draw(DAMAGE_ROWS);
	struct memory_channel *row = &view->channels[c];
	uint32_t count = row->tail - row->head;
	struct memory_entry *entry = memory_entry_at(view, c,
		row->head + draw(count > 0 && count < 4096 ? count : 4096));

	switch (draw(8)) {
	case 0:
	case 1:
		damage_word(row, sizeof *row / 4);
		break;
	case 2:
	case 3:
	case 4:
		damage_word(entry, sizeof *entry / 4);
		break;
	case 5: /* the headers of what lies at the front of a block */
		damage_word(
			memory_at(view,
				draw(2) ? draw(3) : view->large_count + draw(8),
				0),
			256);
		break;
	case 6:
		view->journal->log->used = draw(3) ? 8 * draw(40) : draw(999);
		damage_word(view->journal->log->bytes, 100);
		break;
	default: /* the rows of requests lie between channels and rings */
		damage_word((uint8_t *)view->entries -
				    MEMORY_REQUESTS_MAX *
					    sizeof(struct memory_place),
			200);
	}
}

/* A second brain over what is there; in a child, which asserts nothing. */
static void
live_on(int memory_fd)
{
	static struct world w;
	static struct actor actors[4];

	w = (struct world){.memory_fd = memory_fd};
	w.loop = ev_loop_new(EVBACKEND_EPOLL);
	if (exchange_new(w.loop, dup(memory_fd), 1, &w.exchange) < 0)
		_exit(0); /* refused: nothing was changed */
	w.group = group_new(w.exchange, "api", &world_limits);
	for (uint32_t i = 0; i < 4; i++) {
		struct actor *actor = &actors[i];
		json_t *welcome = json_pack("{s:s}", "event", "welcome");
		int pair[2];

		*actor = (struct actor){.world = &w, .id = i + 1};
		actor->endpoint = endpoint_new(w.group, i + 1, i);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair))
			_exit(1);
		actor->fd = pair[1];
		(void)peer_resume(actor->endpoint, i + 1, welcome,
			i == 3 ? -1 : pair[0], &world_hooks, actor,
			&actor->peer);
		json_decref(welcome);
		if (actor->peer != NULL)
			endpoint_set_peer(actor->endpoint, actor->peer);
		endpoint_set_ready(actor->endpoint, true);
	}
	exchange_settle(w.exchange);
	world_turn(&w);
	for (int i = 0; i < 3; i++) {
		char text[160];
		struct frame_header header = {.kind = MUSTER_REQUEST, .id = 5};

		header.size = (uint32_t)snprintf(text + MUSTER_HEADER_SIZE,
			sizeof text - MUSTER_HEADER_SIZE,
			"{\"method\":\"resume\",\"params\":{\"received\":%u}}",
			draw(9));
		frame_store((uint8_t *)text, &header);
		(void)send(actors[i].fd, text, MUSTER_HEADER_SIZE + header.size,
			MSG_NOSIGNAL);
	}
	for (int turn = 0; turn < 8; turn++) {
		char room[65536];

		world_turn(&w);
		for (int i = 0; i < 3; i++)
			while (recv(actors[i].fd, room, sizeof room,
				       MSG_DONTWAIT) > 0)
				continue;
	}
	for (int i = 0; i < 4; i++) {
		endpoint_set_peer(actors[i].endpoint, NULL);
		peer_retire(&actors[i].peer);
		world_turn(&w);
	}
	exchange_free(&w.exchange);
	ev_loop_destroy(w.loop);
	_exit(0);
}

/* What an earlier brain leaves in the middle of a conversation. */
static void
converse(struct world *w, struct actor *actors)
{
	for (uint32_t i = 0; i < 4; i++)
		actor_new(w, &actors[i], i + 1);
	for (uint32_t i = 0; i < 4; i++)
		actor_ready(&actors[i]);
	for (uint64_t i = 1; i <= 10; i++) {
		actor_say(&actors[0], MUSTER_MESSAGE, 2, i, "\"kept\"");
		actor_send(&actors[1], 3, i, 700);
		actor_ask(&actors[2], 1, i, 60000, "\"?\"");
	}
	actor_ask(&actors[2], MUSTER_TO_ANY, 50, 0, "\"?\"");
	actor_send(&actors[0], 2, 60, 30000);
	actor_say(&actors[1], MUSTER_MESSAGE, MUSTER_TO_ALL, 0, "\"all\"");
	world_turn(w);
}

static int
copy_memory(int from)
{
	int to = sys_memfd("damaged", MFD_CLOEXEC);
	off_t size = lseek(from, 0, SEEK_END), at = 0;
	static char room[1 << 16];

	cr_assert_eq(ftruncate(to, size), 0);
	while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(from, at, SEEK_HOLE);

		while (at < end) {
			size_t some = (size_t)(end - at) < sizeof room
					      ? (size_t)(end - at)
					      : sizeof room;

			cr_assert_eq(
				pread(from, room, some, at), (ssize_t)some);
			cr_assert_eq(pwrite(to, room, some, at), (ssize_t)some);
			at += (off_t)some;
		}
	}
	return to;
}

Test(exchange_damage, a_brain_goes_on_whatever_it_finds, .timeout = 110)
{
	static struct world w;
	static struct actor actors[4];
	const char *wanted = getenv("MUSTER_TEST_SEED");
	uint64_t start = wanted != NULL ? strtoull(wanted, NULL, 10) : 1;
	uint64_t rounds = wanted != NULL ? 1 : DAMAGE_ROUNDS;

	world_new(&w);
	converse(&w, actors);
	for (uint64_t round = start; round < start + rounds; round++) {
		int fd = copy_memory(w.memory_fd), status = 0;
		const struct memory_view *live = w.exchange->view;
		size_t size = (size_t)lseek(fd, 0, SEEK_END);
		struct journal journal;
		struct memory_view view = *live;
		uint8_t *base;
		pid_t pid;

		seed = round * UINT64_C(0x9e3779b97f4a7c15);
		base = mmap(
			NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		cr_assert_neq(base, MAP_FAILED);
		journal = *live->journal;
		journal.log = (void *)(base + ((uint8_t *)live->journal->log -
						      live->journal->base));
		view.journal = &journal;
		view.channels = (void *)(base + ((uint8_t *)live->channels -
							live->journal->base));
		view.entries = (void *)(base + ((uint8_t *)live->entries -
						       live->journal->base));
		view.small = base + (live->small - live->journal->base);
		view.large = base + (live->large - live->journal->base);
		for (uint32_t i = 1 + draw(12); i > 0; i--)
			damage_once(&view);
		cr_assert_eq(munmap(base, size), 0);

		pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0) {
			(void)alarm(DAMAGE_SECONDS);
			live_on(fd);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		(void)close(fd);
		cr_assert_eq(status, 0, "MUSTER_TEST_SEED=%llu: status %x",
			(unsigned long long)round, (unsigned)status);
	}
	for (int i = 0; i < 4; i++)
		actor_free(&actors[i]);
	world_free(&w);
}
