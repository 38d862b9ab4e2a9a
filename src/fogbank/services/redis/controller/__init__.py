"""What Memorystore does while the region runs: it keeps redis-servers as their instances say."""

from fogbank.services.redis.controller.controller import RedisController, make_controller

__all__ = ["RedisController", "make_controller"]
