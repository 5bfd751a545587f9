"""What files and answers may say: problems, chips, engines, models and plans, as pydantic models."""
