// The official client of the Sprites service, at its ordinary operations.
//
// Each one that went as its documentation says prints "ok" and its name; the first that did not
// ends the program with status 1. It says "ok all" at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	sprites "github.com/superfly/sprites-go"
)

var (
	base   = flag.String("base", "", "base `URL` of the service")
	key    = flag.String("key", "", "API `key`")
	limits = flag.Bool("limits", false, "the first creation is refused, to be tried again after 7 s")
)

func main() {
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelError)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := sprites.New(*key, sprites.WithBaseURL(*base), sprites.WithDisableControl())
	if *limits {
		refused(ctx, client)
	}
	errorsMapped(ctx, client)
	life(ctx, client)

	created, err := client.CreateSprite(ctx, "direct", nil)
	must("create for exec", err)
	files(created)
	commands(ctx, "direct", func() *sprites.Sprite { return client.Sprite("direct") })
	must("delete after exec", created.Delete(ctx))

	controlled := sprites.New(*key, sprites.WithBaseURL(*base))
	_, err = controlled.CreateSprite(ctx, "controlled", nil)
	must("create for control", err)
	commands(ctx, "control", func() *sprites.Sprite {
		return sprites.New(*key, sprites.WithBaseURL(*base)).Sprite("controlled")
	})
	must("delete after control", controlled.DeleteSprite(ctx, "controlled"))
	must("close", controlled.Close())
	fmt.Println("ok all")
}

func refused(ctx context.Context, client *sprites.Client) {
	_, err := client.CreateSprite(ctx, "refused", nil)
	limit := sprites.IsRateLimitErr(err)
	check("rate limit", limit != nil && limit.IsCreationRateLimited(), err)
	check("retry after", limit.RetryAfterHeader == 7 && limit.GetRetryAfterSeconds() == 7, limit)
}

func errorsMapped(ctx context.Context, client *sprites.Client) {
	stranger := sprites.New("nobody", sprites.WithBaseURL(*base), sprites.WithDisableControl())
	_, err := stranger.GetSprite(ctx, "any")
	var refused *sprites.APIError
	check("wrong key", errors.As(err, &refused) && refused.StatusCode == 401, err)
	check("wrong key, words", refused != nil && refused.ErrorCode != "" && refused.Message != "", err)
	_, err = client.GetSprite(ctx, "nowhere")
	check("get what is not there", err != nil && err.Error() == "sprite not found: nowhere", err)
	err = client.DeleteSprite(ctx, "nowhere")
	check("delete what is not there", errors.As(err, &refused) && refused.StatusCode == 404, err)
	err = client.Sprite("nowhere").Command("true").Run()
	check("exec where nothing is", errors.As(err, &refused) && refused.StatusCode == 404, err)
}

func life(ctx context.Context, client *sprites.Client) {
	for _, name := range []string{"one-a", "one-b", "two"} {
		sprite, err := client.CreateSprite(ctx, name, nil)
		must("create "+name, err)
		check("name of "+name, sprite.Name() == name, sprite.Name())
	}
	_, err := client.CreateSprite(ctx, "two", nil)
	var refused *sprites.APIError
	check("create twice", errors.As(err, &refused), err)
	sprite, err := client.GetSprite(ctx, "two")
	must("get", err)
	fresh := time.Since(sprite.CreatedAt) < time.Hour
	check("details", sprite.ID != "" && sprite.Status == "cold" && fresh, sprite)
	all, err := client.ListAllSprites(ctx, "one-")
	must("list", err)
	check("list by prefix", len(all) == 2, all)
	page, err := client.ListSprites(ctx, &sprites.ListOptions{MaxResults: 2})
	must("list a page", err)
	check("first page", len(page.Sprites) == 2 && page.HasMore, page)
	next := &sprites.ListOptions{MaxResults: 2, ContinuationToken: page.NextContinuationToken}
	page, err = client.ListSprites(ctx, next)
	must("list the next page", err)
	check("last page", len(page.Sprites) == 1 && !page.HasMore, page)
	for _, name := range []string{"one-a", "one-b", "two"} {
		must("delete "+name, client.DeleteSprite(ctx, name))
	}
	_, err = client.GetSprite(ctx, "two")
	check("it is gone", err != nil, err)
}

func must(what string, err error) {
	check(what, err == nil, err)
}

func check(what string, holds bool, instead any) {
	if !holds {
		fmt.Printf("FAILED %s: %v\n", what, instead)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}
